"""The permissions that Terraform makes policies of, as the product's one list has them."""

import json

from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS


def document() -> str:
    """Kind of account to role to action to resource, in the order of `adapters/permissions.py`."""
    kinds = {"our_account": IN_OUR_ACCOUNT, "target_accounts": IN_TARGET_ACCOUNTS}
    listed = {
        kind: {role.value.replace(" ", "_"): dict(actions) for role, actions in roles.items()}
        for kind, roles in kinds.items()
    }
    return json.dumps(listed, indent=2) + "\n"
