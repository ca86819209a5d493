resource "foobar_app_server" "checksum" {
  machine = local.web1
  name    = "shop"
  release = {
    sha256 = "sha256:1234" # <-
  }
  command = ["./bin/app"]
  port    = 80
}

resource "foobar_app_server" "neither_source_nor_checksum" {
  machine = local.web1
  name    = "shop"
  release = { # <-
    max_bytes = 1000
  }
  command = ["./bin/app"]
  port    = 80
}

resource "foobar_app_server" "no_command" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = [] # <-
  port    = 80
}

resource "foobar_app_server" "argument_of_a_shell" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = [
    "./bin/app",
    "--home=$HOME", # <-
  ]
  port = 80
}

resource "foobar_app_server" "argument_of_null" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = [
    "./bin/app",
    null, # <-
  ]
  port = 80
}

resource "foobar_app_server" "program_outside_of_the_release" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["../bin/app"] # <-
  port    = 80
}

resource "foobar_app_server" "app_port_with_privileges" {
  machine   = local.web1
  name      = "shop"
  release   = local.release
  command   = ["./bin/app"]
  app_ports = [8000, 81] # <-
  port      = 80
}

resource "foobar_app_server" "one_port_for_two_releases" {
  machine   = local.web1
  name      = "shop"
  release   = local.release
  command   = ["./bin/app"]
  app_ports = [8000] # <-
  port      = 80
}

resource "foobar_app_server" "one_port_for_app_and_nginx" {
  machine   = local.web1
  name      = "shop"
  release   = local.release
  command   = ["./bin/app"]
  app_ports = [8000, 8001] # <-
  port      = 8000
}

resource "foobar_app_server" "strategy" {
  machine  = local.web1
  name     = "shop"
  release  = local.release
  command  = ["./bin/app"]
  strategy = "rolling" # <-
  port     = 80
}

resource "foobar_app_server" "variable_name" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  environment = {
    GOOD   = "a"
    LOG-TO = "b" # <-
  }
}

resource "foobar_app_server" "variable_of_ours" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  environment = {
    PORT = "8000" # <-
  }
}

resource "foobar_app_server" "secrets_without_a_version" {
  machine    = local.web1
  name       = "shop"
  release    = local.release
  command    = ["./bin/app"]
  port       = 80
  secrets_wo = { TOKEN = "hunter2" } # <-
}

resource "foobar_app_server" "version_of_0" {
  machine            = local.web1
  name               = "shop"
  release            = local.release
  command            = ["./bin/app"]
  port               = 80
  secrets_wo         = { TOKEN = "hunter2" }
  secrets_wo_version = 0 # <-
}

resource "foobar_app_server" "secret_in_the_environment_too" {
  machine     = local.web1
  name        = "shop"
  release     = local.release
  command     = ["./bin/app"]
  port        = 80
  environment = { TOKEN = "none" }
  secrets_wo = {
    TOKEN = "hunter2" # <-
  }
  secrets_wo_version = 1
}

resource "foobar_app_server" "path_of_nginx" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  health_check = {
    path = "/_foobar/health" # <-
  }
}

resource "foobar_app_server" "start_too_short" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  health_check = {
    interval      = "10s"
    successes     = 3
    start_timeout = "15s" # <-
  }
}

resource "foobar_app_server" "body_too_large" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  request_limits = {
    body_bytes = 1e30 # <-
  }
}

resource "foobar_app_server" "static_of_everything" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  static = {
    "/assets/" = { directory = "." } # <-
  }
}

resource "foobar_app_server" "static_prefix" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  static = {
    "/assets" = { directory = "public" } # <-
  }
}

resource "foobar_app_server" "header_of_the_app" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  response_headers = {
    Set-Cookie = "a=b" # <-
  }
}

resource "foobar_app_server" "neither_command_nor_files" { # <-
  machine = local.web1
  name    = "shop"
  release = local.release
  port    = 80
}

resource "foobar_app_server" "empty_command_of_a_site" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = [] # <-
  port    = 80
  static  = { "/" = { directory = "." } }
}

resource "foobar_app_server" "hold_longer_than_an_update" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  health_check = {
    min_healthy_time = "10m" # <-
  }
}

resource "foobar_app_server" "update_shorter_than_the_hold" {
  machine  = local.web1
  name     = "shop"
  release  = local.release
  command  = ["./bin/app"]
  port     = 80
  timeouts = { update = "10s" } # <-
}

resource "foobar_app_server" "memory_without_a_unit" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  limits  = { memory = "512" } # <-
}

resource "foobar_app_server" "memory_by_another_unit" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  limits  = { memory = "512MB" } # <-
}

resource "foobar_app_server" "too_few_bytes_of_log" {
  machine = local.web1
  name    = "shop"
  release = local.release
  command = ["./bin/app"]
  port    = 80
  logs    = { max_bytes = 128 } # <-
}
