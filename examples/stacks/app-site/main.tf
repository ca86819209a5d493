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
  description = "Path of the release: what examples/apps/pack.sh packs of examples/apps/site/public."
  type        = string
}

# A VM that was booted from the image.
resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

# A site of files, which nginx serves from the release. There is no program.
resource "foobar_app_server" "site" {
  machine = foobar_machine.web1
  name    = "site"
  port    = 80

  release = { source = var.release }
  static = {
    "/" = { directory = "." } # the whole release
  }
}
