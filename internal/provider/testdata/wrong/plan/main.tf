# As in ../validate, but what is wrong shows only while planning. Of what an
# import refuses, Terraform shows no line.
terraform {
  required_providers {
    foobar = { source = "foobar-stack/foobar" }
  }
}

variable "frontends" {
  default = { http = { port = 70000, backend = "web" } }
}

locals {
  web1     = { name = "web1", address = "10.0.0.1" }
  web2     = { name = "web2", address = "10.0.0.2" }
  backends = { web = { servers = { web1 = { address = "10.0.0.1", port = 80 } } } }
}

resource "foobar_app_server" "no_such_file" {
  machine = local.web2
  name    = "shop"
  release = {
    source = "no-such-release.tar.gz" # <-
  }
  command = ["./bin/app"]
  port    = 8080
}

resource "foobar_app_server" "not_in_the_release" {
  machine = local.web2
  name    = "news"
  release = {
    source = "testdata/wrong/plan/release.tar.gz"
  }
  command = ["./bin/serve"] # <-
  port    = 8081
  static  = { "/assets/" = { directory = "asset" } } # <-
}

resource "foobar_app_server" "not_executable" {
  machine = local.web2
  name    = "feed"
  release = {
    source = "testdata/wrong/plan/release.tar.gz"
  }
  command = ["./run.sh"] # <-
  port    = 8082
  environment = {
    GREETING     = "hello"
    DATABASE_URL = "mysql://feed:hunter2@127.0.0.1:6446/feed" # <-
    API_TOKEN    = "hunter2"                                  # <-
  }
}

resource "foobar_load_balancer" "pattern_that_the_engine_refuses" {
  machine   = local.web2
  name      = "www"
  frontends = { http = { port = 80, backend = "web" } }
  backends = {
    web = { # <-
      servers      = { web1 = { address = "10.0.0.1", port = 80 } }
      health_check = { body_pattern = "(ok" }
    }
  }
}

resource "foobar_load_balancer" "first_on_the_port" {
  machine = local.web1
  name    = "www"
  frontends = {
    http = { port = 3306, backend = "web" }
  }
  backends = local.backends
}

resource "foobar_db_server" "on_the_port_by_default" { # <-
  depends_on = [foobar_load_balancer.first_on_the_port]
  machine    = local.web1
  name       = "main"
  engine     = "mariadb"
}

import {
  to = foobar_load_balancer.id_without_an_address
  id = "web1/www" # no line
}

resource "foobar_load_balancer" "id_without_an_address" {
  machine   = local.web1
  name      = "www"
  frontends = { http = { port = 81, backend = "web" } }
  backends  = local.backends
}

import {
  to = foobar_machine.id_without_an_address
  id = "web1" # no line
}

resource "foobar_machine" "id_without_an_address" {
  name    = "web1"
  address = "10.0.0.1"
}

import {
  to = foobar_bootstrap.id_with_a_wrong_incarnation
  id = "web1/second" # no line
}

resource "foobar_bootstrap" "id_with_a_wrong_incarnation" {
  name = "web1"
}

resource "foobar_load_balancer" "port_out_of_a_variable" {
  machine   = local.web1
  name      = "www"
  frontends = var.frontends # <-
  backends  = local.backends
}

resource "foobar_load_balancer" "port_of_one_of_each" {
  for_each = { good = 80, bad = 0 }
  machine  = local.web1
  name     = "www-${each.key}"
  frontends = {
    http = { port = each.value, backend = "web" } # <-
  }
  backends = local.backends
}

resource "foobar_app_server" "start_longer_than_a_create" {
  machine         = local.web1
  name            = "slow"
  release         = { source = "testdata/wrong/plan/release.tar.gz" }
  command         = ["./bin/server"]
  port            = 8083
  trusted_proxies = ["0.0.0.0/0"] # <-
  secrets_wo = {
    TOKEN = "" # <-
  }
  secrets_wo_version = 1
  health_check = {
    start_timeout = "10m" # <-
  }
}

resource "foobar_app_server" "start_longer_than_an_update" {
  machine  = local.web1
  name     = "slower"
  release  = { source = "testdata/wrong/plan/release.tar.gz" }
  command  = ["./bin/server"]
  port     = 8084
  timeouts = { update = "1m" } # <-
}

resource "foobar_load_balancer" "trusts_everybody" {
  machine         = local.web1
  name            = "open"
  frontends       = { http = { port = 8089, backend = "web" } }
  backends        = local.backends
  trusted_proxies = ["::/0"] # <-
}
