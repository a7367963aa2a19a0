"""Models behind HTTP: a page for people (`vaegan studio`), a JSON API for programs (`vaegan serve`).

Whatever a request says is checked before it reaches a model, and no request decides which file is read: runs are named
when the server starts, everything else goes by names and numbers that are looked up.
"""
