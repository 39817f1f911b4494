"""Write the permissions that Terraform makes policies of, or with `--check` exit 1 when they have drifted."""

import argparse
import json
import sys
from pathlib import Path

from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS

PAGE = Path(__file__).parents[1] / "deploy" / "terraform" / "modules" / "policies" / "permissions.json"


def document() -> str:
    """Kind of account to role to action to resource, in the order of `adapters/permissions.py`."""
    kinds = {"our_account": IN_OUR_ACCOUNT, "target_accounts": IN_TARGET_ACCOUNTS}
    listed = {
        kind: {role.value.replace(" ", "_"): dict(actions) for role, actions in roles.items()}
        for kind, roles in kinds.items()
    }
    return json.dumps(listed, indent=2) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.terraform_permissions", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    check: bool = parser.parse_args(arguments).check
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == document():
        return 0
    if not check:
        PAGE.write_text(document(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} {'has drifted from adapters/permissions.py' if check else 'written'}\n")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())
