"""Models behind HTTP: a page for people (`vaegan studio`), a JSON API for programs (`vaegan serve`).

Requests are checked before they reach a model, and no request decides which file is read: runs are named when the
server starts, and everything else is looked up by name or number.
"""
