terraform {
  required_version = ">= 1.11"

  required_providers {
    foobar = {
      source = "foobar-stack/foobar"
    }
  }
}

# The seed of the deployment's CA comes from the environment variable FOOBAR_CA_SEED.
provider "foobar" {
  deployment = "demo" # the name of the lab's; your own machines get a name of your choice
}

# Two VMs that were booted from the image.
resource "foobar_machine" "lb1" {
  name    = "lb1"
  address = "10.0.0.10"
}

resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

# The app on web1, behind its own nginx.
resource "foobar_app_server" "notes" {
  machine = foobar_machine.web1
  name    = "notes"

  release      = { source = "notes.tar.gz" } # made by examples/apps/notes/pack.sh
  command      = ["python3", "-m", "uvicorn", "main:app", "--uds", "$SOCKET"]
  health_check = { path = "/healthz" }
  port         = 8080

  # lb1: only a load balancer that is listed here is told that the app is down, and sends its requests to another server.
  trusted_proxies = ["${foobar_machine.lb1.address}/32"]
}

# HAProxy on lb1, in front of it. It refers to the app, so that Terraform makes it when the app answers.
resource "foobar_load_balancer" "www" {
  machine = foobar_machine.lb1
  name    = "www"

  frontends = {
    http = { port = 80, backend = "web" }
  }
  backends = {
    web = {
      health_check = { path = "/_foobar/health" }
      servers      = { web1 = { address = "10.0.0.1", port = foobar_app_server.notes.port } }
    }
  }
}
