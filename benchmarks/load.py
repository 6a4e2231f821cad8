"""Multiplies matrices for ever, on as many threads as its argument says: other work on the same cores."""

import sys


def main() -> None:
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    a, b = torch.ones(1024, 1024), torch.ones(1024, 1024)
    a @ b
    print("ready", flush=True)
    while True:
        a @ b


if __name__ == "__main__":
    main()
