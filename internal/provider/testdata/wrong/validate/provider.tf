provider "foobar" {
  alias      = "deployment_name"
  deployment = "My Shop" # <-
}

resource "foobar_bootstrap" "of_deployment_name" {
  provider = foobar.deployment_name
  name     = "web1"
}

provider "foobar" {
  alias      = "seed_too_short"
  deployment = "shop"
  ca_seed    = "c2VjcmV0" # <-
}

resource "foobar_bootstrap" "of_seed_too_short" {
  provider = foobar.seed_too_short
  name     = "web1"
}

provider "foobar" {
  alias        = "end_of_the_ca"
  deployment   = "shop"
  ca_not_after = "2040-01-01" # <-
}

resource "foobar_bootstrap" "of_end_of_the_ca" {
  provider = foobar.end_of_the_ca
  name     = "web1"
}

provider "foobar" {
  alias              = "certificate_without_key"
  deployment         = "shop"
  client_certificate = "-----BEGIN CERTIFICATE-----" # <-
}

resource "foobar_bootstrap" "of_certificate_without_key" {
  provider = foobar.certificate_without_key
  name     = "web1"
}

provider "foobar" {
  alias              = "forgotten_machine"
  deployment         = "shop"
  forget_unreachable = ["web1", "10.0.0.2"] # <-
}

resource "foobar_bootstrap" "of_forgotten_machine" {
  provider = foobar.forgotten_machine
  name     = "web1"
}
