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
  environment          = "dev"
  state_bucket         = "example-terraform-state"
  state_key            = "migrator/dev.tfstate"
}

run "a_job_takes_its_role_from_one_environment_of_one_repository" {
  command = plan

  assert {
    condition = {
      for job, trust in output.github_trusts : job => jsondecode(trust).Statement[0].Condition
      } == {
      for job, environment in { build = "build", plan = "plan-dev", deploy = "dev" } : job => {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = "repo:example/migrator:environment:${environment}"
        }
      }
    }
    error_message = "A subject is another one, or is not compared as a whole."
  }
}

run "without_a_repository_no_job_has_a_role" {
  command = plan

  variables {
    github_repository = null
  }

  assert {
    condition     = length(output.github_trusts) == 0
    error_message = "There is a trust without a repository."
  }
}

run "planning_only_looks" {
  command = plan

  assert {
    condition = alltrue([
      for action in flatten([for one in jsondecode(output.plan).Statement : one.Action]) :
      can(regex(":(Describe|GET|Get|List)", action)) && !can(regex("GetSecretValue|:GetItem|ReceiveMessage", action))
    ])
    error_message = "Planning could change something, or read a secret."
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
        for document in concat([output.build, output.deploy, output.execution, output.plan], values(output.key_use)) :
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
