"""The policies that there are, without what carries them out: policy.py says what each does."""

from typing import Final, Literal, get_args

Policy = Literal["as-is", "clean", "refuse"]
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)
