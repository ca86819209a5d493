resource "foobar_machine" "lb1" {
  name    = "lb1"
  address = "10.0.0.10"
}

resource "foobar_load_balancer" "www" {
  machine = foobar_machine.lb1
  name    = "www"

  frontends = { http = { port = 80, backend = "web" } }
  backends = {
    web = { servers = { web1 = { address = "10.0.0.1", port = 80 } } }
  }
}

data "foobar_load_balancer" "www" {
  machine = foobar_load_balancer.www.machine
  name    = foobar_load_balancer.www.name # a reference: it is read after the resource was applied
}

# A warning in each plan, and nothing more, while a server is down or the load
# balancer's machine does not answer: everything but reachable is null then.
check "every_server_is_up" {
  assert {
    condition = try(alltrue([
      for server in values(data.foobar_load_balancer.www.backends["web"].servers) : server.state == "up"
    ]), false)
    error_message = "A server of the backend web is not up."
  }
}
