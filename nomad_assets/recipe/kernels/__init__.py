"""Five hand-written parts of training and scoring, behind one switch, with the plain formulas beside them.

    switch.py     kernels(): the parts to compute with; NOMAD_KERNELS=plain takes the plain ones
    fused.py      written by hand: less memory, less time
    plain.py      the same functions as torch's own operations and its autograd
    exchange.py   puts two of the parts into the layers of a transformers model

Whoever suspects them of a wrong loss runs the same step under both: `NOMAD_KERNELS=plain nomad-assets run ...`.
"""
