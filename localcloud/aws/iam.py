"""IAM: moto's backend, taught to simulate the policies of a role (IAM API 2010-05-08, SimulatePrincipalPolicy).

Identity policies alone: no boundaries, no policies of resources or of the organisation.
"""

import json
from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.responses import IamResponse


def install() -> None:
    """Teach moto's IAM; again is no change."""
    IamResponse.simulate_principal_policy = _simulate_principal_policy


def _simulate_principal_policy(self: Any) -> Any:
    role = self.backend.get_role_by_arn(self._get_param("PolicySourceArn"))
    statements = [one for policy in _policies(role) for one in json.loads(policy)["Statement"]]
    actions, resources = (self._get_param(name) or ["*"] for name in ("ActionNames", "ResourceArns"))
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": _decision(statements, action, resource),
            "MatchedStatements": [],
            "MissingContextValues": _conditions(statements, action),
        }
        for action in actions
        for resource in resources
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _policies(role: Any) -> Iterator[str]:
    yield from role.policies.values()
    yield from (policy.document for policy in role.managed_policies.values())


def _decision(statements: list[Any], action: str, resource: str) -> str:
    """By the statements without conditions: a simulation is told no value that one could hold for."""
    plain = json.dumps({"Statement": [one for one in statements if "Condition" not in one]})
    said = IAMPolicy(plain).is_action_permitted(action, resource)
    return _DECISIONS.get(said, "implicitDeny")


def _conditions(statements: list[Any], action: str) -> list[str]:
    """The condition keys of the statements that name the action."""
    conditions = [one.get("Condition", {}) for one in statements if action in one.get("Action", ())]
    return sorted({key for condition in conditions for operands in condition.values() for key in operands})


_DECISIONS = {PermissionResult.DENIED: "explicitDeny", PermissionResult.PERMITTED: "allowed"}
