variable "weights" {
  description = "Weights of the app servers, by name, that differ from the default."
  type        = map(number)
  default     = {}
}
