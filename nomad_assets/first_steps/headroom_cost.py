"""What `nomad-assets headroom` takes on this machine, from the speed that `estimate` measures."""

from nomad_assets.first_steps.estimate import FORWARD_SHARE, HARNESS_SECONDS, Speed
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.headroom.design import models_of, sizes_of, steps_of
from nomad_assets.recipe.training.trainer import rows_per_step


def headroom_seconds(
    profile: Profile, speed: Speed, prompt_tokens: float, response_tokens: float, questions: dict[str, int], pool: int
) -> float:
    """Seconds of the whole of headroom_scores. `pool` counts the seed rows, `questions` those of each benchmark; tokens as in
    `forecast`. Models are taken to be trained at the teacher's speed, and to answer as long as the seeds do.

    Raises NomadError when the pool is too small.
    """
    settings, student = profile.headroom, profile.student
    models = models_of(settings, pool)
    steps = steps_of(settings, student, sizes_of(settings, pool)[-1])
    row = prompt_tokens + response_tokens
    training = speed.start_seconds + steps * (speed.step_seconds + rows_per_step(student) * row * speed.token_seconds)
    shares = {name: benchmark.dev for name, benchmark in profile.benchmarks.items() if benchmark.source is not None}
    asked = sum(min(settings.questions, round(shares.get(name, 0.0) * count)) for name, count in questions.items())
    answering = asked * response_tokens / speed.decoded_per_second
    scoring = speed.open_seconds + HARNESS_SECONDS + answering + asked * row * speed.token_seconds * FORWARD_SHARE
    voting = speed.open_seconds + settings.answers * answering
    trained = sum(model.rows > 0 for model in models)
    return trained * training + len(models) * scoring + settings.replicates * voting
