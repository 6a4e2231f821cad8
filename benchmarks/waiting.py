"""What it costs how threads wait for each other: training quiet, or beside another process on the same cores.

python benchmarks/waiting.py --rows FILE.jsonl [--count 16] [--rounds 5] [--loaded]

Contenders, each run in turn with the others: ours as everybody gets it (a bounded spin), ours with
GNU OpenMP's own default (long spins) and with none (PASSIVE), TRL as it is started, and TRL with our bound. The goals:
quiet, ours at most 3% behind long spins (ratio at least 0.97); loaded, at least twice TRL's speed.
"""

from harness import OURS, Contender, arguments, compare
from training import training_job, training_report, with_rows

from nomad_assets.recipe.threads import SPIN_COUNT, SPINS, WAIT_POLICY

GNU_DEFAULT = {SPIN_COUNT: "300000"}
CONTENDERS = [
    Contender(OURS, "nomad_training"),
    Contender(f"{OURS}, long spins", "nomad_training", variables=GNU_DEFAULT),
    Contender(f"{OURS}, no spins", "nomad_training", variables={WAIT_POLICY: "PASSIVE"}),
    Contender("TRL as documented", "trl_sft", "trl"),
    Contender("TRL, padding-free", "trl_sft", "trl", {"variant": "best"}),
    Contender("TRL as documented, our bound", "trl_sft", "trl", variables={SPIN_COUNT: str(SPINS)}),
]


def main() -> None:
    options = with_rows(arguments(__doc__))
    job = training_job("waiting", options)
    runs = compare("waiting", CONTENDERS, job, options)
    print(training_report(f"{options.count} rows, {'loaded' if options.loaded else 'quiet'}", runs))


if __name__ == "__main__":
    main()
