"""The experiments of arXiv:1512.09300, sections 4.1 and 4.2, from training runs to results.

`plan` lists the training runs, `measurements` has the regressor and measures the models, `paper_images` makes the
images, `experiment` does one after the other or resumes, `results` holds what comes out, `pages.paper` shows it.
"""
