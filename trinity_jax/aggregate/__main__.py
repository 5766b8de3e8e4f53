"""`python -m trinity_jax.aggregate` is `trinity-aggregate`."""

from trinity_jax.aggregate.command import main

if __name__ == "__main__":
    main()
