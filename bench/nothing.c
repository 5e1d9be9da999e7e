/* The smallest program that can be executed: what remains of fork+exec+wait is the cost of exec. */

int main(void)
{
    return 0;
}
