resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1" # the agent's port is 9443 if none is given

  # Raise it, and that of foobar_bootstrap, when the VM is rebuilt: the next
  # apply restores everything on it.
  incarnation = 1
}

# Whatever is on the machine says so with the whole resource.
resource "foobar_app_server" "shop" {
  machine = foobar_machine.web1
  name    = "shop"
  release = { source = "${path.module}/build/shop-1.4.0.tar.gz" }
  command = ["./bin/shop", "--socket", "$SOCKET"]
  port    = 80
}
