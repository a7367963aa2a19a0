"""The experiments of arXiv:1512.09300, sections 4.1 and 4.2, from trainings to one page.

`plan` says what is trained, `regressor` and `similarity` measure Table 2's analogue, `pixels` images as images,
`figures` makes the pictures, `page` lays all of it out, and `experiment` does one after the other, or goes on.
"""
