# A load balancer and the app servers behind it.

resource "foobar_app_server" "this" {
  for_each = var.app_servers

  machine = each.value.machine
  name    = var.name

  release = {
    source = var.release
    sha256 = var.release_sha256
  }
  command = var.command

  port            = var.app_server_port
  trusted_proxies = ["${var.load_balancer.address}/32"]

  environment        = merge(var.environment, each.value.environment)
  secrets_wo         = var.secrets
  secrets_wo_version = var.secrets_version

  health_check     = { path = var.health_path, min_healthy_time = var.min_healthy_time }
  drain_timeout    = var.drain_timeout
  liveness         = var.liveness
  agent_check_port = var.agent_check_port

  # A server that is taken away leaves the load balancer before it stops.
  lifecycle {
    create_before_destroy = true
  }
}

resource "foobar_load_balancer" "this" {
  machine = var.load_balancer.machine
  name    = var.name

  max_connections = var.max_connections
  trusted_proxies = var.trusted_proxies

  frontends = {
    http = { port = var.port, backend = "web" }
  }

  backends = {
    web = {
      algorithm    = var.algorithm
      health_check = { path = "/_foobar/health" } # answered by the nginx in front of the app; 404 while it drains
      servers = {
        for name, server in var.app_servers : name => {
          address          = server.address
          port             = var.app_server_port
          agent_check_port = var.agent_check_port
          weight           = server.weight
          drain            = server.drain

          # Half is for reads, half for writes, and each half is twice what the app works on at
          # one time. What is more waits in the load balancer, half a second at most, not in the app.
          max_connections = var.app_workers == null ? null : 4 * var.app_workers
        }
      }
    }
  }

  # The first request that arrives finds servers that are healthy.
  depends_on = [foobar_app_server.this]
}
