resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

data "foobar_machine" "web1" {
  machine = foobar_machine.web1
}

check "web1" {
  assert {
    condition     = data.foobar_machine.web1.reachable && data.foobar_machine.web1.healthy
    error_message = "web1 is not well: ${jsonencode(data.foobar_machine.web1.conditions)}"
  }
}
