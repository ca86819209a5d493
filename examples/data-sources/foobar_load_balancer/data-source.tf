resource "foobar_machine" "lb1" {
  name    = "lb1"
  address = "10.0.0.10"
}

data "foobar_load_balancer" "www" {
  machine = foobar_machine.lb1
  name    = "www"
}

# A warning in each plan, and nothing more, while a server is down.
check "every_server_is_up" {
  assert {
    condition = alltrue([
      for server in values(data.foobar_load_balancer.www.backends["web"].servers) : server.state == "up"
    ])
    error_message = "A server of the backend web is not up."
  }
}
