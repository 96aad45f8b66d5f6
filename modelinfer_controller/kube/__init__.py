"""client-go for asyncio: client, watch, caches, work queue, leader election. Knows nothing of ModelInfer."""
