"""Numbers that say how good something is: features or images in, numbers out."""
