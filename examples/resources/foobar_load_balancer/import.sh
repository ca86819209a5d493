# <machine>@<address of its agent>/<name>
terraform import foobar_load_balancer.www lb1@10.0.0.10/www
