resource "foobar_machine" "lb1" {
  name    = "lb1"
  address = "10.0.0.10"
}

resource "foobar_load_balancer" "www" {
  machine = foobar_machine.lb1
  name    = "www"

  frontends = {
    http = { port = 80, backend = "web" }
  }

  backends = {
    web = {
      health_check = { path = "/_foobar/health" } # nginx in front of each app answers it; 404 while the app server drains
      servers = {
        # Their app servers list 10.0.0.10 in trusted_proxies. Each app has 8 workers. web2 gets half of web1's share.
        web1 = { address = "10.0.0.1", port = 80, max_connections = 32 }
        web2 = { address = "10.0.0.2", port = 80, max_connections = 32, weight = 50 }

        # To take a server out of service, let it finish first. Neither needs a reload.
        # web2 = { address = "10.0.0.2", port = 80, drain = true }
      }
    }
  }
}
