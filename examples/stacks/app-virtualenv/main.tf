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

variable "release" {
  description = "Path of the release: what examples/apps/virtualenv/pack.sh packs."
  type        = string
}

# A VM that was booted from the image.
resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

# A Python app that brings its packages, gunicorn among them, in a virtualenv.
resource "foobar_app_server" "ledger" {
  machine = foobar_machine.web1
  name    = "ledger"
  port    = 80

  release = { source = var.release }
  command = [
    "./venv/bin/python", "-m", "gunicorn", "main:app",
    "--bind", "unix:$SOCKET",
    "--workers", "2", "--threads", "4",
    "--graceful-timeout", "20", # below stop_timeout, which is 25s
  ]
  health_check = { path = "/healthz" }
}
