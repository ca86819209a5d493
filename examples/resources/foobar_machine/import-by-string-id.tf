import {
  to = foobar_machine.web1
  id = "web1@10.0.0.1" # <machine>@<address of its agent>
}
