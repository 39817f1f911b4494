variables {
  kind       = "our_account"
  partition  = "aws"
  account_id = "123456789012"
  regions    = ["eu-central-1"]
  names = {
    request_queue     = "migrator-dev-requests"
    dead_letter_queue = "migrator-dev-requests-dlq"
    state_table       = "migrator-dev-state"
    event_bus         = "migrator-dev"
  }
  narrowed = {
    "sts:AssumeRole" = ["arn:aws:iam::210987654321:role/migrator-dev-target"]
    "sts:TagSession" = ["arn:aws:iam::210987654321:role/migrator-dev-target"]
  }
}

run "the_ingress_is_allowed_its_queues_and_its_bus_alone" {
  command = plan

  assert {
    condition = toset(flatten([for one in jsondecode(output.documents["ingress"]).Statement : one.Resource])) == toset([
      "arn:aws:sqs:eu-central-1:123456789012:migrator-dev-requests",
      "arn:aws:sqs:eu-central-1:123456789012:migrator-dev-requests-dlq",
      "arn:aws:events:eu-central-1:123456789012:event-bus/migrator-dev",
    ])
    error_message = "The ingress reaches something else."
  }
}

run "every_permission_is_in_the_document_of_its_role_and_no_other" {
  command = plan

  assert {
    condition = alltrue([
      for role, actions in jsondecode(file("./permissions.json"))["our_account"] :
      toset(flatten([for one in jsondecode(output.documents[role]).Statement : one.Action])) == toset(keys(actions))
    ])
    error_message = "A document allows more or less than permissions.json."
  }
}

run "no_placeholder_is_left" {
  command = plan

  assert {
    condition     = !can(regex("\\{(partition|region|account|[a-z]+_[a-z]+|event_bus)\\}", jsonencode(output.documents)))
    error_message = "A placeholder has no name."
  }
}

run "a_narrowed_action_is_allowed_on_the_given_arns_alone" {
  command = plan

  assert {
    condition = [
      for one in jsondecode(output.documents["orchestrate"]).Statement : one.Resource if contains(one.Action, "sts:AssumeRole")
    ] == [["arn:aws:iam::210987654321:role/migrator-dev-target"]]
    error_message = "The worker may assume other roles."
  }
}

run "who_reads_only_writes_nothing" {
  command = plan

  assert {
    condition = alltrue([
      for action in flatten([for one in jsondecode(output.read_only).Statement : one.Action]) :
      can(regex(":(BatchGet|Describe|Get|Query|Scan|Simulate)", action))
    ])
    error_message = "The read-only role may write."
  }
}

run "an_action_narrowed_to_nothing_is_not_allowed" {
  command = plan

  variables {
    narrowed = { "sts:AssumeRole" = [], "sts:TagSession" = [] }
  }

  assert {
    condition     = !strcontains(output.documents["orchestrate"], "sts:AssumeRole")
    error_message = "A statement without resources is there."
  }
}
