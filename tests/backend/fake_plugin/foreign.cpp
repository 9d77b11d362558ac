extern "C" __attribute__((visibility("default"))) int not_a_backend();
int not_a_backend() {
  return 1;
}
