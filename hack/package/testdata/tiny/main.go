// Command tiny stands for the agent of other machines in TestPackage: the agent takes two minutes to build for them.
package main

func main() {}
