"""A report: one self-contained HTML page out of sections, sections out of blocks.

Python decides what is said and where each point of a drawing lies; the template lays it out. The page asks for nothing
from outside, and its pictures are bounded in size, so it can be mailed and opens by a double click.
"""
