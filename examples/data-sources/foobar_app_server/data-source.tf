resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

data "foobar_app_server" "shop" {
  machine = foobar_machine.web1
  name    = "shop"
}

output "shop" {
  value = {
    release = data.foobar_app_server.shop.release
    healthy = data.foobar_app_server.shop.healthy
    log     = data.foobar_app_server.shop.log
  }
}
