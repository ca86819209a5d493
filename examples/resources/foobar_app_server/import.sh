# <machine>@<address of its agent>/<name>
terraform import foobar_app_server.shop web1@10.0.0.1/shop
