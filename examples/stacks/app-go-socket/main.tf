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
  description = "Path of the release: examples/apps/go, built with CGO_ENABLED=0."
  type        = string
}

# A VM that was booted from the image.
resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

# A static program that listens on the Unix socket in $SOCKET.
resource "foobar_app_server" "ledger" {
  machine = foobar_machine.web1
  name    = "ledger"
  port    = 80

  release      = { source = var.release }
  command      = ["./app"] # what a release of one program is called, whatever its file is
  health_check = { path = "/healthz" }
}
