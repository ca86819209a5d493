import {
  to = foobar_bootstrap.web1
  id = "web1/2" # <name>, or <name>/<incarnation>
}
