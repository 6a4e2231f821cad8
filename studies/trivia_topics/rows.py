"""Open trivia questions with their topic as the answer.

The file lies beside the profile and is not part of this repository: any JSON Lines file with `question` and `category` will do.
"""

import json
from pathlib import Path


def topics(file: str, categories: list[str]):
    """Rows of these categories."""
    for number, line in enumerate(Path(__file__).with_name(file).read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        if row["category"] in categories:
            question = f"{' '.join(row['question'].split())} Topic?"
            yield {"id": f"{number:05}", "question": question, "answers": [row["category"].replace("-", " and ")]}
