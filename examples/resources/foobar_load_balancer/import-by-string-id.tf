import {
  to = foobar_load_balancer.www
  id = "lb1@10.0.0.10/www" # <machine>@<address of its agent>/<name>
}
