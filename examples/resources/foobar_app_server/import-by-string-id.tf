import {
  to = foobar_app_server.shop
  id = "web1@10.0.0.1/shop" # <machine>@<address of its agent>/<name>
}
