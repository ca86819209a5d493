resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

data "foobar_machine" "web1" {
  machine = foobar_machine.web1
}

check "web1" {
  assert {
    # Everything but reachable is null while the machine does not answer.
    condition     = coalesce(data.foobar_machine.web1.healthy, false)
    error_message = "web1 does not answer or is not well: ${jsonencode(data.foobar_machine.web1.conditions)}"
  }
}
