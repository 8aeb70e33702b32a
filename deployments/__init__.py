"""What is deployed, when and where: one module a deployment, and how they are applied and served."""
