resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

variable "session_key" {
  description = "Signs the app's cookies."
  type        = string
  sensitive   = true
  ephemeral   = true # neither the plan nor the state keeps it
}

resource "foobar_app_server" "shop" {
  machine = foobar_machine.web1
  name    = "shop"

  release = {
    source = "${path.module}/build/shop-1.4.0.tar.gz" # hashed at plan, uploaded where it is missing
  }
  command = ["./bin/shop", "--socket", "$SOCKET"]

  port            = 80
  trusted_proxies = ["10.0.0.10/32"] # the load balancer

  static = { # files of the release that nginx serves by itself
    "/assets/" = { directory = "public/assets", cache = "24h" }
  }
  response_headers = { X-Content-Type-Options = "nosniff" }

  environment        = { LOG_LEVEL = "info" }
  secrets_wo         = { SESSION_KEY = var.session_key }
  secrets_wo_version = 1 # raise it when a secret changes

  health_check = { path = "/health" }
  limits       = { memory = "1G" } # of the machine's memory; it is killed and started again beyond that
}
