"""Experiments on segregated dendrites beside Guerguiev et al. 2017. python -m runs.dendrites

    paper.py     its figures: networks, conditions, numbers
    errors.py    figures 6, 8 and 9: test errors of runs of ref.train
    measure.py   figures 5 and 7: angles, losses, Theorem 1's μ, image by image
    first.py     what each option does to the first images
    repeat.py    one network tested several times
    raster.py    a picture of one image through both phases
"""
