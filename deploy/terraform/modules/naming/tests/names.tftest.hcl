variables {
  project_name = "migrator"
  environment  = "dev"
}

run "names_say_project_and_environment" {
  command = plan

  assert {
    condition     = output.request_queue == "migrator-dev-requests" && output.dead_letter_queue == "migrator-dev-requests-dlq"
    error_message = "The queues are named otherwise."
  }

  assert {
    condition     = output.roles["read-only"] == "migrator-dev-read-only"
    error_message = "The roles are named otherwise."
  }

  assert {
    condition     = output.log_groups["worker"] == "/migrator/dev/worker"
    error_message = "The log groups are named otherwise."
  }

  assert {
    condition     = startswith(output.event_log_group, "/aws/events/")
    error_message = "EventBridge could not write to its log group."
  }
}

run "the_longest_names_fit_into_what_iam_takes" {
  command = plan

  variables {
    project_name = "abcdefghij-abcdefghi"
    environment  = "abcdefghij"
  }

  assert {
    condition     = alltrue([for name in values(output.roles) : length(name) <= 64])
    error_message = "A role's name is longer than 64 characters."
  }
}

run "a_name_that_aws_would_refuse_is_refused_here" {
  command = plan

  variables {
    project_name = "Migrator_1"
  }

  expect_failures = [var.project_name]
}
