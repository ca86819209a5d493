resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

resource "foobar_app_server" "shop" {
  machine = foobar_machine.web1
  name    = "shop"
  release = { source = "${path.module}/build/shop-1.4.0.tar.gz" }
  command = ["./bin/shop", "--socket", "$SOCKET"]
  port    = 80
}

data "foobar_app_server" "shop" {
  machine = foobar_app_server.shop.machine
  name    = foobar_app_server.shop.name # a reference: it is read after the resource was applied
}

output "shop" {
  value = {
    release = data.foobar_app_server.shop.release
    healthy = data.foobar_app_server.shop.healthy
  }
}
