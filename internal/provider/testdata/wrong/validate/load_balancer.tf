resource "foobar_load_balancer" "name" {
  machine   = local.web1
  name      = "Www" # <-
  frontends = local.frontends
  backends  = local.backends
}

resource "foobar_load_balancer" "machine_literal" {
  machine = {
    name    = "10.0.0.1" # <-
    address = "10.0.0.1"
  }
  name      = "www"
  frontends = local.frontends
  backends  = local.backends
}

resource "foobar_load_balancer" "machine_literal_in_one_line" {
  machine   = { name = "web1", address = "web 1" } # <-
  name      = "www"
  frontends = local.frontends
  backends  = local.backends
}

resource "foobar_load_balancer" "port_out_of_range" {
  machine = local.web1
  name    = "www"
  frontends = {
    http  = { port = 80, backend = "web" }
    https = { port = 70000, backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "port_of_a_half" {
  machine = local.web1
  name    = "www"
  frontends = {
    http = { # <-
      backend = "web"
      port    = 8500.5
    }
  }
  backends = local.backends
}

resource "foobar_load_balancer" "port_of_the_agent" {
  machine = local.web1
  name    = "www"
  frontends = {
    http = { port = 9443, backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "port_of_ssh" {
  machine = local.web1
  name    = "www"
  frontends = {
    ssh = { port = 22, backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "port_out_of_a_for" {
  machine   = local.web1
  name      = "www"
  frontends = { for i in [1, 2] : "http${i}" => { port = i * 50000, backend = "web" } } # <-
  backends  = local.backends
}

resource "foobar_load_balancer" "port_of_two_frontends" {
  machine = local.web1
  name    = "www"
  frontends = {
    http  = { port = 80, backend = "web" }
    other = { port = 80, address = "10.0.0.1", backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "frontend_name" {
  machine = local.web1
  name    = "www"
  frontends = {
    "HTTP" = { port = 80, backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "frontend_address" {
  machine = local.web1
  name    = "www"
  frontends = {
    http = { address = "eth0", port = 80, backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "frontend_of_null" {
  machine = local.web1
  name    = "www"
  frontends = {
    http  = { port = 80, backend = "web" }
    other = null # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "no_frontends" {
  machine   = local.web1
  name      = "www"
  frontends = {} # <-
  backends  = local.backends
}

resource "foobar_load_balancer" "backend_that_is_not_there" {
  machine = local.web1
  name    = "www"
  frontends = {
    http = { port = 80, backend = "app" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "log_format_of_two_lines" {
  machine = local.web1
  name    = "www"
  frontends = {
    http = { port = 80, backend = "web", log_format = "%ci\n%r" } # <-
  }
  backends = local.backends
}

resource "foobar_load_balancer" "engine" {
  machine   = local.web1
  name      = "www"
  engine    = "squid" # <-
  frontends = local.frontends
  backends  = local.backends
}

resource "foobar_load_balancer" "algorithm" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { algorithm = "roundrobin", servers = local.servers } # <-
  }
}

resource "foobar_load_balancer" "server_by_name" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { # <-
      servers = {
        web1 = { address = "web1.example", port = 80 }
      }
    }
  }
}

resource "foobar_load_balancer" "server_twice" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { # <-
      servers = {
        web1 = { address = "10.0.0.1", port = 80 }
        web2 = { address = "10.0.0.1", port = 80 }
      }
    }
  }
}

resource "foobar_load_balancer" "no_servers" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { servers = {} } # <-
  }
}

resource "foobar_load_balancer" "weight_of_0" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { servers = { web1 = { address = "10.0.0.1", port = 80, weight = 0 } } } # <-
  }
}

resource "foobar_load_balancer" "path_of_the_check" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { servers = local.servers, health_check = { path = "health" } } # <-
  }
}

resource "foobar_load_balancer" "interval_of_the_check" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { servers = local.servers, health_check = { interval = "soon" } } # <-
  }
}

resource "foobar_load_balancer" "two_errors_of_the_check" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { servers = local.servers, health_check = { rise = 0, fall = 0 } } # <- <-
  }
}

resource "foobar_load_balancer" "body_of_head" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends = {
    web = { servers = local.servers, health_check = { method = "HEAD", body_pattern = "ok" } } # <-
  }
}

resource "foobar_load_balancer" "traffic_timeout" {
  machine = local.web1
  name    = "www"
  traffic_timeouts = {
    connect = "2s"
    client  = "0s" # <-
  }
  frontends = local.frontends
  backends  = local.backends
}

resource "foobar_load_balancer" "trusted_proxy" {
  machine         = local.web1
  name            = "www"
  trusted_proxies = ["10.0.0.1", "192.0.2.0/24"] # <-
  frontends       = local.frontends
  backends        = local.backends
}

resource "foobar_load_balancer" "timeout" {
  machine   = local.web1
  name      = "www"
  frontends = local.frontends
  backends  = local.backends
  timeouts  = { delete = "0s" } # <-
}
