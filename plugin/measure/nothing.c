/* The yardstick: the least that a static program costs. */
int main(void) { return 0; }
