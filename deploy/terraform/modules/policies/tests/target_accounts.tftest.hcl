variables {
  kind       = "target_accounts"
  partition  = "aws"
  account_id = "210987654321"
  regions    = ["eu-central-1", "eu-west-1"]
}

run "every_permission_is_in_the_document_of_its_role_and_no_other" {
  command = plan

  assert {
    condition = alltrue([
      for role, actions in jsondecode(file("./permissions.json"))["target_accounts"] :
      toset(flatten([for one in jsondecode(output.documents[role]).Statement : one.Action])) == toset(keys(actions))
    ])
    error_message = "A document allows more or less than permissions.json."
  }
}

run "machines_are_stopped_and_terminated_only_by_the_migration_whose_tag_they_carry" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for document in values(output.documents) : [
        for one in jsondecode(document).Statement :
        try(one.Condition.StringEquals["aws:ResourceTag/migrator:migration-id"], "") == "$${aws:PrincipalTag/migrator:migration-id}"
        if length(setintersection(one.Action, ["ec2:StopInstances", "mgn:TerminateTargetInstances", "mgn:StartCutover", "mgn:FinalizeCutover"])) > 0
      ]
    ]))
    error_message = "Somebody else's machine could be stopped or terminated."
  }

  assert {
    condition = length(flatten([
      for one in jsondecode(output.documents["rollback"]).Statement : one.Action
      if can(one.Condition)
    ])) == 2
    error_message = "Other calls of a rollback have conditions than those that were meant."
  }
}

run "a_call_reaches_every_region_that_is_named_and_no_other" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for document in values(output.documents) : [
        for arn in flatten([for one in jsondecode(document).Statement : one.Resource]) :
        can(regex("^(\\*|arn:aws:(iam|route53)::.*|arn:aws:[a-z0-9]+:eu-(central|west)-1:.*)$", arn))
      ]
    ]))
    error_message = "An ARN is of another region."
  }
}

run "the_documents_of_a_target_role_fit_into_managed_policies" {
  command = plan

  assert {
    condition     = alltrue([for document in values(output.documents) : length(document) <= 6144])
    error_message = "A managed policy holds 6,144 characters at most."
  }
}

run "hosted_zones_can_be_narrowed" {
  command = plan

  variables {
    narrowed = { "route53:ChangeResourceRecordSets" = ["arn:aws:route53:::hostedzone/Z0123456789EXAMPLE"] }
  }

  assert {
    condition = alltrue([
      for one in jsondecode(output.documents["cutover"]).Statement :
      one.Resource == ["arn:aws:route53:::hostedzone/Z0123456789EXAMPLE"]
      if contains(one.Action, "route53:ChangeResourceRecordSets")
    ])
    error_message = "Records of other zones could be changed."
  }
}
