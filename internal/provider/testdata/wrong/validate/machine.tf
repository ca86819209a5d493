resource "foobar_machine" "name" {
  name    = "web_1" # <-
  address = "10.0.0.1"
}

resource "foobar_machine" "name_too_long" {
  name    = "a-name-of-twenty-five-char" # <-
  address = "10.0.0.1"
}

resource "foobar_machine" "address_with_a_scheme" {
  name    = "web1"
  address = "https://10.0.0.1" # <-
}

resource "foobar_machine" "address_with_a_wrong_port" {
  name    = "web1"
  address = "10.0.0.1:94430" # <-
}

resource "foobar_machine" "incarnation_of_0" {
  name        = "web1"
  address     = "10.0.0.1"
  incarnation = 0 # <-
}

resource "foobar_machine" "incarnation_of_a_half" {
  name        = "web1"
  address     = "10.0.0.1"
  incarnation = 1.5 # <-
}

resource "foobar_machine" "timeout_below_a_second" {
  name    = "web1"
  address = "10.0.0.1"
  timeouts = {
    create = "500ms" # <-
  }
}

resource "foobar_machine" "timeout_without_a_unit" {
  name    = "web1"
  address = "10.0.0.1"
  timeouts = {
    update = "90" # <-
  }
}

resource "foobar_bootstrap" "listen_without_a_port" {
  name   = "web1"
  listen = "10.0.0.1" # <-
}

data "foobar_machine" "name" {
  machine = {
    name    = "Web1" # <-
    address = "10.0.0.1"
  }
}

data "foobar_app_server" "name" {
  machine = local.web1
  name    = "shop." # <-
}

ephemeral "foobar_client_certificate" "role" {
  role = "root" # <-
}

ephemeral "foobar_client_certificate" "too_long" {
  ttl = "2400h" # <-
}
