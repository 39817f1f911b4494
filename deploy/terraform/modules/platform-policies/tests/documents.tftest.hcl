variables {
  partition            = "aws"
  region               = "eu-central-1"
  account_id           = "123456789012"
  prefix               = "migrator-dev"
  log_path             = "/migrator/dev"
  image_repository     = "migrator"
  injected_secret_arns = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:migrator-dev/temporal-AbCdEf"]
  key_arns             = ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
  github_repository    = "example/migrator"
  github_environment   = "dev"
  state_bucket         = "example-terraform-state"
  state_key            = "migrator/dev.tfstate"
}

run "only_jobs_of_one_environment_of_one_repository_deploy" {
  command = plan

  assert {
    condition     = output.github_subject == "repo:example/migrator:environment:dev"
    error_message = "The subject is another one."
  }

  assert {
    condition = (
      keys(jsondecode(output.github_trust).Statement[0].Condition) == ["StringEquals"] &&
      jsondecode(output.github_trust).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == output.github_subject
    )
    error_message = "The subject is not compared as a whole."
  }
}

run "without_a_repository_nobody_deploys" {
  command = plan

  variables {
    github_repository = null
  }

  assert {
    condition     = output.github_trust == null
    error_message = "There is a trust without a repository."
  }
}

run "deploying_makes_no_role_and_hands_over_the_tasks_roles_alone" {
  command = plan

  assert {
    condition = length([
      for action in flatten([for one in jsondecode(output.deploy).Statement : one.Action]) : action
      if can(regex("^iam:(Attach|Create|Delete|Put|Update|Tag)", action))
    ]) == 0
    error_message = "Deploying could give itself permissions."
  }

  assert {
    condition = alltrue([
      for one in jsondecode(output.deploy).Statement :
      alltrue([for arn in one.Resource : endswith(arn, "-ingress") || endswith(arn, "-worker") || endswith(arn, "-execution")])
      if contains(one.Action, "iam:PassRole")
    ])
    error_message = "Deploying could hand over another role."
  }

  assert {
    condition     = length(output.deploy) <= 10240
    error_message = "The policies of a role hold 10,240 characters at most."
  }
}

run "no_document_allows_an_action_by_a_wildcard_but_the_keys_own" {
  command = plan

  assert {
    condition = alltrue([
      for action in flatten([
        for document in concat([output.execution, output.deploy], values(output.key_use)) :
        [for one in jsondecode(document).Statement : one.Action]
      ]) : !strcontains(action, "*")
    ])
    error_message = "An action has a wildcard."
  }
}

run "the_key_is_used_through_the_services_that_a_part_calls" {
  command = plan

  assert {
    condition     = jsondecode(output.key_use["ingress"]).Statement[0].Condition.StringEquals["kms:ViaService"] == ["sqs.eu-central-1.amazonaws.com"]
    error_message = "The ingress may use the key otherwise."
  }
}

run "containers_without_secrets_may_read_none" {
  command = plan

  variables {
    injected_secret_arns = []
  }

  assert {
    condition     = !strcontains(output.execution, "secretsmanager")
    error_message = "A statement about secrets is there."
  }
}
