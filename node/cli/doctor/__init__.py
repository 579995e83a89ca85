"""`hilum doctor`: what it looks at beside what the console shows too (`node.assembly.doctor`), and how people are told."""
