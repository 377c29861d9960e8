"""The product's server, which waits for the end of a message for a second only."""

import sys

from project import server

if __name__ == "__main__":
    server.protocols.UNFINISHED_MESSAGE_S = 1.0
    server.main(sys.argv[1:])
